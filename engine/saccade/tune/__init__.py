"""What runs a network fastest here and still says what it says in f32: found by measuring, on the user's own frames.

`frames` collects them and keeps them in memory, `agreement` compares results, `turns` compares speeds, `quantising`
has NNCF calibrate a network in a process of its own, `layers` finds those that must stay in f32, `tuning` tries one
thing after the other within its budget and writes the profile (`saccade.networks.profile`), `report` shows it.
"""
