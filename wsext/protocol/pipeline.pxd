# C types for pipeline.py, which is compiled with them.
import cython

from wsext.protocol.frames cimport Frame
from wsext.protocol.stack cimport Stack
from wsext.protocol.stage cimport Stage


cdef class Pipeline(Stack):
    cpdef list encode(self, Frame frame)
    cpdef list encode_again(self, Frame frame)

    @cython.locals(stage=Stage, many=list, opcode=int, fin=bint)
    cpdef object encode_one(self, Frame frame)

    @cython.locals(stage=Stage, item=Frame, frames=list, out=list, passed=list, opcode=int, fin=bint)
    cpdef tuple encode_shared(self, Frame frame)

    @cython.locals(stage=Stage)
    cpdef skip_shared(self, tuple stages)

    @cython.locals(frame=Frame)
    cdef list _end_encode(self, list frames)

    @cython.locals(allowed=int, wrong=int)
    cdef _check_rsv(self, Frame frame)

    cpdef list decode(self, Frame frame)

    @cython.locals(stage=Stage, many=list, opcode=int, fin=bint)
    cpdef object decode_one(self, Frame frame)

    @cython.locals(frame=Frame)
    cdef list _cleared(self, list frames)

    @cython.locals(wrong=int)
    cdef _check_cleared(self, Frame frame)


@cython.locals(out=list)
cpdef list run_hooks(object hooks, Frame frame)
