"""From a candidate to what answers: a merged model as GGUF, a Modelfile, a model in Ollama, ONNX file."""
