"""Pure rules: plain values in and out."""
