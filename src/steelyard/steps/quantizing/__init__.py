"""The parts of quantization after training: one module an idea, put together by `steelyard.steps.quantize`."""
