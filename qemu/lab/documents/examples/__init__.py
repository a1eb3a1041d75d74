"""One real report for each code of a finding: docs/examples.md."""
