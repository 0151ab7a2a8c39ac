"""The site: `make docs` makes dist/docs of README.md and docs/. Every link is checked: a warning is an error.

Pages are Markdown as GitHub shows them. docs/index.md takes README.md in and has the navigation, by task.
"""

project = "Synth"
author = "The authors of Synth"
copyright = "the authors of Synth, Apache-2.0"
extensions = ["myst_parser", "sphinxcontrib.mermaid"]
exclude_patterns = ["site", "notebook"]
myst_fence_as_directive = ["mermaid"]
myst_heading_anchors = 4
suppress_warnings = ["misc.highlighting_failure"]  # tables of a terminal in blocks without a language
html_theme = "furo"
html_title = "Synth"
html_copy_source = False
html_theme_options = {"sidebar_hide_name": False, "navigation_with_keys": True}
