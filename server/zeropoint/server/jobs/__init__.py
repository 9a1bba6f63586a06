"""What a job does, step by step, over a link that may be any stream: no gRPC, no protobuf."""
