//! What Herald keeps of each dispatch: a bundle with the request, every e-mail as it was handed over, and the outcome.
