"""What runs a network fastest here and still says what it says in f32: found by measuring, on the user's own frames.

`frames` collects them and keeps them in memory, `agreement` compares results, `turns` compares speeds, `quantising`
has NNCF calibrate a network in a process of its own, `layers` finds those that must stay in f32. `int8` and `ways` try
what can be tried, `judging` keeps the best, `tuning` leads through all within the budget and writes the profile
(`saccade.networks.profile`), `report` shows it.
"""
