# Two stages: the wheels are built with a compiler, the server runs without one, and not as root.
FROM python:3.12-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
RUN python -m venv /opt/parley
COPY requirements.lock ./
RUN /opt/parley/bin/pip install --no-cache-dir -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY agent agent
COPY transports transports
COPY providers providers
COPY loadtest loadtest
RUN /opt/parley/bin/pip install --no-cache-dir --no-deps .

FROM python:3.12-slim
RUN useradd --system --uid 10001 --no-create-home parley
COPY --from=build /opt/parley /opt/parley
USER 10001
ENV PATH=/opt/parley/bin:$PATH PYTHONUNBUFFERED=1
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9464/healthz', timeout=2)"]
ENTRYPOINT ["parley"]
CMD ["serve"]
