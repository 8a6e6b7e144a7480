# C types for stage.py, which is compiled with them.
import cython

from wsext.protocol.epochs cimport Follower
from wsext.protocol.frames cimport Frame, check_frame
from wsext.protocol.leaf cimport size_of


cdef class Stage:
    cdef public object encode
    cdef public object decode
    cdef public object whole
    cdef public bint always
    cdef public bint takes_all
    cdef public bint remembers
    cdef public bint asks
    cdef public bint tells
    cdef public Follower follower
    cdef public bint control
    cdef public Stage below
    cdef public Stage above
    cdef public long long produced
    cdef public long long limit
    cdef public bint active
    cdef public int sending
    cdef public int receiving
    cdef public bint encodes
    cdef public bint decodes
    cdef public bint is_async
    cdef public int rsv
    cdef public object wants
    cdef public object codec
    cdef public object boundary
    cdef public frozenset opcodes
    cdef public str name

    cpdef bint ignores(self, int opcode) except -1

    @cython.locals(opcode=int)
    cpdef bint skips(self, Frame frame, object hints) except -1

    @cython.locals(follower=Follower)
    cpdef bint skips_own(self, Frame frame, object hints) except -1

    @cython.locals(opcode=int)
    cpdef object budget(self, Frame frame)

    @cython.locals(frame=Frame, out=list)
    cpdef list encoded(self, int opcode, bint fin, object result)

    cpdef check_encoded(self, int opcode, bint fin, Frame frame)

    @cython.locals(frame=Frame, out=list)
    cpdef list decoded(self, int opcode, bint fin, Frame source, object result)

    cpdef Frame check_decoded(self, int opcode, bint fin, Frame source, Frame frame)

    @cython.locals(made=int)
    cdef int _followed_by(self, Frame frame, int partial, int opcode, bint fin) except -1


@cython.locals(opcode=int)
cdef bint _is_plain(Frame frame) except -1
