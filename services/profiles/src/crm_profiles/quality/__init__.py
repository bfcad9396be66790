"""How complete, valid and fresh data are, and what is done about it."""
