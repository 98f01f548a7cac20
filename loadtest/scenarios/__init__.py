"""Load tests as YAML files: what callers do, what goes wrong meanwhile, and what the server must hold.

`schema` says what a file may have, `load` reads one, `runner` runs it and returns a `result.Result`, which
`loadtest.report` turns into a page, a JSON file and a comparison.
"""
