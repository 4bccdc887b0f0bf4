"""NormGrad Studio as an ASGI application: `streamlit run app.py`.

The script of every run is `pages/shared/main.py`. It does not lie beside the folder `pages/`: Streamlit
would take that folder for a classic multi-page app and run a page without its frame.
"""

import sys

import streamlit as st

from pages.shared import server
from pages.shared.engine import cluster_address
from saliency_core.errors import SaliencyError

try:
    server.prepare()
    middleware = server.middleware()
    routes = server.routes()
    cluster_address()
except SaliencyError as error:  # a setting that cannot be used
    sys.exit(str(error))

app = st.App(
    "pages/shared/main.py",
    lifespan=server.lifespan,
    routes=routes,
    middleware=middleware,
    on_script_error=server.on_script_error,
)
