# The image of a site without a GPU: the thin install, or with --target service the workstation service.
# Only what locks/ names is installed, each file by its hash, and nothing is compiled. No step needs a shell.
# docs/container.md says how to run it: as nobody in particular (10001), its root file system read-only, no network.

FROM python:3.11-slim-bookworm AS wheel
COPY locks/build.txt /locks/
RUN ["python", "-m", "pip", "install", "--no-cache-dir", "--require-hashes", "--only-binary=:all:", "-r", "/locks/build.txt"]
WORKDIR /source
COPY . .
RUN ["python", "-m", "pip", "wheel", "--no-cache-dir", "--no-deps", "--no-build-isolation", "--wheel-dir", "/wheels", "."]

FROM python:3.11-slim-bookworm AS thin-packages
RUN ["python", "-m", "venv", "/opt/alta"]
COPY locks/thin.txt /locks/
RUN ["/opt/alta/bin/pip", "install", "--no-cache-dir", "--require-hashes", "--only-binary=:all:", "-r", "/locks/thin.txt"]
COPY --from=wheel /wheels /wheels
RUN ["/opt/alta/bin/pip", "install", "--no-cache-dir", "--no-index", "--no-deps", "--find-links", "/wheels", "alta-sdk"]

FROM thin-packages AS service-packages
COPY locks/service.txt /locks/
RUN ["/opt/alta/bin/pip", "install", "--no-cache-dir", "--require-hashes", "--only-binary=:all:", "-r", "/locks/service.txt"]

FROM python:3.11-slim-bookworm AS service
COPY --from=service-packages /opt/alta /opt/alta
# The site key, and nothing else, is kept in the user's settings.
ENV PATH=/opt/alta/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/state XDG_CONFIG_HOME=/state/settings
USER 10001:10001
EXPOSE 8104 11112
# Of the page that this container alone reaches; a site that serves it by TLS gives its own --health-cmd.
HEALTHCHECK --interval=30s --timeout=10s --start-period=2m \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8104/healthz', timeout=5)"]
ENTRYPOINT ["alta"]
CMD ["serve", "--config", "/etc/alta/service.toml"]

FROM python:3.11-slim-bookworm AS thin
COPY --from=thin-packages /opt/alta /opt/alta
ENV PATH=/opt/alta/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/state XDG_CONFIG_HOME=/state/settings
USER 10001:10001
ENTRYPOINT ["alta"]
CMD ["--help"]
