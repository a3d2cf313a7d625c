"""The networks: the Keras hypermodel, its layers, the PyTorch committee."""
