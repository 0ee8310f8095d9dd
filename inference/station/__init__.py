"""The operator station: a service that takes scans in, judges them, and a page on which people decide.

`service.Station` holds everything together; `app.create_app` puts the HTTP interface and the page before it;
`serve.serve` is the command. The page under `static/` is plain HTML, CSS and modules without a build step.
"""
