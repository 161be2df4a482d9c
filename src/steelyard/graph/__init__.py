"""ONNX files: read safely, counted, sliced."""
