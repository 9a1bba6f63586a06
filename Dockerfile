# syntax=docker/dockerfile:1
FROM python:3.13-slim AS build
WORKDIR /source
RUN pip install --no-cache-dir build
COPY . .
RUN python -m build --wheel --outdir /wheels

FROM python:3.13-slim
ENV ORT_DISABLE_TELEMETRY=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    NUMBA_CACHE_DIR=/var/cache/zeropoint/numba \
    ZEROPOINT_LISTEN=0.0.0.0:50051 \
    ZEROPOINT_SCRATCH=/var/lib/zeropoint
RUN useradd --system --uid 10001 --create-home zeropoint \
    && install -d -o zeropoint /var/cache/zeropoint /var/lib/zeropoint
COPY --from=build /wheels/*.whl /tmp/
RUN pip install --no-cache-dir "$(echo /tmp/zeropoint-*.whl)[server]" && rm /tmp/*.whl
USER zeropoint
# The counting loops are compiled once, here.
RUN python -c "import zeropoint.sketch; zeropoint.sketch.warm()"
EXPOSE 50051
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-m", "zeropoint.server.probe", "127.0.0.1:50051"]
# Trusted clients only: this address has neither TLS nor tokens of its own.
ENTRYPOINT ["python", "-m", "zeropoint.server"]
CMD ["--insecure"]
