"""The contract core as chaincode: a server that each organisation runs beside its peer (chaincode as a service).

Written on the peer's own messages (`fabric_protos.peer.chaincode_shim_pb2`). The library fabric-chaincode-python 2.5.4
is not used: it drops events, takes the peer's errors for values, lets concurrent transactions hang on unserialised
writes, logs every key and value, answers an exception with silence until the peer's timeout, and knows neither batched
reads nor batched writes. What is left of the protocol fits in `stream.py`.
"""
