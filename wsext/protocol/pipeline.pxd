# C types for pipeline.py, which is compiled with them.
import cython

from wsext.protocol.frames cimport Frame
from wsext.protocol.journal cimport Journal
from wsext.protocol.leaf cimport size_of


cdef class Stage:
    cdef public object encode
    cdef public object decode
    cdef public object whole
    cdef public bint always
    cdef public bint control
    cdef public Stage below
    cdef public Stage above
    cdef public long long produced
    cdef public long long limit
    cdef public bint active
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

    @cython.locals(opcode=int)
    cpdef object budget(self, Frame frame)

    @cython.locals(frame=Frame)
    cpdef collect_encoded(self, object result, list out)

    @cython.locals(frame=Frame)
    cpdef collect_decoded(self, Frame source, object result, list out)

    cpdef Frame check_decoded(self, Frame source, Frame frame)

    cpdef count(self, Py_ssize_t size)


cdef class Pipeline:
    # What every frame meets comes first, so that it shares a cache line.
    cdef Stage _first_encoder
    cdef Stage _first_decoder
    cdef object _hints
    cdef public bint passive
    cdef bint _seen_out
    cdef bint _seen_in
    cdef tuple _encoders
    cdef tuple _receiving
    cdef tuple _sending
    cdef object _message_received
    cdef object _message_sending
    cdef object _trace
    cdef bint _closed
    cdef public object wait
    cdef object _asked
    cdef public bint is_async
    cdef public tuple stages
    cdef public int rsv_first
    cdef public int rsv_foreign
    cdef public int rsv_rest
    cdef public int rsv_control
    cdef public frozenset opcodes
    cdef public long long wire_limit
    cdef public long long max_message_size
    cdef public object shared_key
    cdef public Journal journal
    cdef public list entered
    cdef public list left
    cdef int _own

    cpdef list encode(self, Frame frame)
    cpdef list encode_again(self, Frame frame)

    @cython.locals(stage=Stage, below=Stage, many=list, opcode=int)
    cpdef object encode_one(self, Frame frame)

    @cython.locals(stage=Stage, item=Frame, frames=list, out=list, passed=list)
    cpdef tuple encode_shared(self, Frame frame)

    @cython.locals(stage=Stage)
    cpdef skip_shared(self, tuple stages)

    @cython.locals(frame=Frame)
    cdef list _end_encode(self, list frames)

    @cython.locals(allowed=int, wrong=int)
    cdef _check_rsv(self, Frame frame)

    cpdef list decode(self, Frame frame)

    @cython.locals(stage=Stage, many=list, opcode=int)
    cpdef object decode_one(self, Frame frame)

    @cython.locals(frame=Frame)
    cdef list _cleared(self, list frames)

    @cython.locals(wrong=int)
    cdef _check_cleared(self, Frame frame)


@cython.locals(out=list)
cpdef list run_hooks(object hooks, Frame frame)
