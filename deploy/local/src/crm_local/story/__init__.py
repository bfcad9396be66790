"""The demo's story by chapters; each step has its own key or name, so told again it changes nothing."""
