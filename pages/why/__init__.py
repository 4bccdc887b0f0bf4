"""Why Grad-CAM fails: what averaging the gradient keeps, with the session's photo."""
