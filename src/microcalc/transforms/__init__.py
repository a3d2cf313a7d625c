"""Array in, array out: augmentation, wavelet filter."""
