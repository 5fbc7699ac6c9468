"""The world behind the ports: one module for each driver, and a memory that stands for them."""
