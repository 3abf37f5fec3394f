"""Where events flow: the Faust application and its wiring."""
