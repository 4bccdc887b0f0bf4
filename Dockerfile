# NormGrad Studio as images, for Docker, Podman or Buildah; docs/deploy.md says how they are used.
#
#   docker build -t normgrad-studio .                                   app and engine in one process, on the CPU
#   docker build -t normgrad-studio --build-arg ACCELERATOR=cuda .      the same for NVIDIA GPUs
#   docker build -t normgrad-studio-web --target web .                  the pages alone, without PyTorch
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS base
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
# What visitors bring and what is downloaded lies in two folders of the one user that everything runs as.
RUN useradd --uid 10001 --create-home studio \
    && install -d -m 700 -o studio -g studio /var/lib/normgrad/state /var/lib/normgrad/weights
RUN python3 -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir uv==0.13.9
ENV PATH=/opt/venv/bin:$PATH \
    VIRTUAL_ENV=/opt/venv \
    UV_NO_CACHE=1 \
    UV_SYSTEM_CERTS=1 \
    PYTHONUNBUFFERED=1 \
    SALIENCY_STATE=/var/lib/normgrad/state \
    SALIENCY_WEIGHTS=/var/lib/normgrad/weights \
    RAY_USAGE_STATS_ENABLED=0 \
    STREAMLIT_SERVER_ADDRESS=0.0.0.0 \
    STREAMLIT_SERVER_PORT=8501
WORKDIR /srv/normgrad

# The pages without PyTorch: every computation is a cluster's (SALIENCY_ENGINE).
FROM base AS web
COPY requirements-web.txt ./
RUN uv pip install -r requirements-web.txt
COPY . .
RUN python -m compileall -q app.py pages saliency_core
USER studio
EXPOSE 8501
HEALTHCHECK --start-period=60s --interval=15s --timeout=5s CMD ["python", "deploy/healthy.py"]
CMD ["streamlit", "run", "app.py"]

# Everything: the app with its engine, or a cluster's replica (`python -m saliency_core serve`).
FROM base AS app
ARG ACCELERATOR=cpu
COPY requirements.txt requirements-web.txt ./
# PyTorch as it is published holds CUDA. Its CPU build needs none of those packages; uv knows where it lies.
RUN case "$ACCELERATOR" in \
        cuda) uv pip install -r requirements.txt -r requirements-web.txt ;; \
        cpu) grep -Ev '^(cuda|nvidia)-|^triton' requirements.txt >/tmp/cpu.txt \
            && uv pip install --torch-backend cpu -r /tmp/cpu.txt -r requirements-web.txt \
            && rm /tmp/cpu.txt ;; \
        *) echo "ACCELERATOR is '$ACCELERATOR'; expected cpu or cuda" >&2; exit 1 ;; \
    esac
COPY . .
RUN python -m compileall -q app.py pages saliency_core
USER studio
EXPOSE 8501
HEALTHCHECK --start-period=120s --interval=15s --timeout=5s CMD ["python", "deploy/healthy.py"]
CMD ["streamlit", "run", "app.py"]
