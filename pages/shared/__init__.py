"""What the pages share: look, text, charts, controls, present mode.  No machine learning here."""
