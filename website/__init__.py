"""The site: Markdown pages from the repository and from the lab itself, built into HTML by Zensical."""
