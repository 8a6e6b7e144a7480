"""An application: what is installed, its routes, typed messages, and how they are described."""
