# Types of steps.py, which is compiled with them.
import cython

cdef double PLACE_NOISE, SHAPE_NOISE, ACCELERATION, GROWTH, LEAST_SIDE
cdef double GATE, GRASP, TAIL, REACH, NEAR, OTHER_CLASS, NOT_SURE
cdef double SURE_LOOKS, SURE_SECONDS, STILL_SECONDS, STILL_PART
cdef Py_ssize_t X, Y, LOG_WIDTH, LOG_HEIGHT, SPEED_X, SPEED_Y, PLACE, PLACE_SPEED, SPEED, SHAPE, ABSENT
cdef Py_ssize_t LAST, LAST_TIME, BEST, BEST_SCORE, START, LOOKS, STAND_X, STAND_Y, SINCE, TOLD, TOLD_SCORE, SURE, STILL
cdef Py_ssize_t SIGHTING, SCORE, TIME

@cython.locals(j=Py_ssize_t)
cpdef shapes(const double[:, ::1] sightings, double[:, ::1] out)

@cython.locals(i=Py_ssize_t, absent=double, both=double, speed=double)
cpdef predict(double[:, ::1] objects, double seconds, double patience)

@cython.locals(i=Py_ssize_t, j=Py_ssize_t, area=double, place=double, shape=double, base=double, near=double,
               reach=double, x=double, y=double, width=double, height=double, dx=double, dy=double, dw=double,
               dh=double, away=double, off=double, cost=double, same=bint)
cpdef pair_costs(double[:, ::1] objects, const int[::1] classes, const double[:, ::1] seen, const int[::1] labels,
                 double patience, double[:, ::1] out)

@cython.locals(k=Py_ssize_t, i=Py_ssize_t, j=Py_ssize_t, c=Py_ssize_t, place=double, both=double, shape=double,
               gain=double, turn=double, growth=double, dx=double, dy=double, better=bint)
cpdef correct(double[:, ::1] objects, const Py_ssize_t[::1] rows, const double[:, ::1] seen,
              const double[:, ::1] sightings, const Py_ssize_t[::1] chosen)

@cython.locals(i=Py_ssize_t, count=Py_ssize_t, most=double, dx=double, dy=double, still=double, worth=bint)
cpdef Py_ssize_t due(double[:, ::1] objects, double time, double every, int[::1] out)
