# C types for pipeline.py, which is compiled with them.
import cython

from wsext.protocol.epochs cimport Encoding
from wsext.protocol.frames cimport Frame
from wsext.protocol.stack cimport Stack
from wsext.protocol.stage cimport Stage


cdef class Pipeline(Stack):
    cpdef list encode(self, Frame frame)
    cpdef list encode_again(self, Frame frame)

    @cython.locals(stage=Stage, many=list, opcode=int, fin=bint)
    cpdef object encode_one(self, Frame frame)

    @cython.locals(
        stage=Stage, item=Frame, frames=list, out=list, opcode=int, fin=bint, passes=bint
    )
    cpdef Encoding encode_shared(self, Frame frame, object histories=*)

    @cython.locals(stage=Stage)
    cpdef bint skip_shared(self, tuple stages) except -1

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
