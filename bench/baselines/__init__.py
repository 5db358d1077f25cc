"""The other side of each ratio, written as a competent user would write it without this project."""
