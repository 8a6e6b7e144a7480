# C types for stack.py, which is compiled with them.
from wsext.protocol.epochs cimport Follower
from wsext.protocol.journal cimport Journal
from wsext.protocol.stage cimport Stage


cdef class Stack:
    # What every frame meets comes first, so that it shares a cache line.
    cdef Stage _first_encoder
    cdef Stage _first_decoder
    cdef object _hints
    # What every receiver of a broadcast meets.
    cdef public object shared_key
    cdef public object history_key
    cdef public Follower follower
    cdef public bint passive
    cdef public bint has_dropped
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
    cdef public Journal journal
    cdef object _keeper
    cdef public list entered
    cdef public list left
    cdef int _own
