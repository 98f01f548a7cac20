# Two stages: the wheels are built with a compiler, the server runs without one, and not as root.
FROM python:3.12-slim AS build
# Versions are the base image's: pinned ones vanish from Debian's mirrors with the next update.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
RUN python -m venv /opt/parley
# The dependencies by themselves, so that a change of the code does not install them again.
COPY requirements.lock ./
RUN /opt/parley/bin/pip install --no-cache-dir -r requirements.lock
COPY . .
RUN /opt/parley/bin/pip install --no-cache-dir --no-deps .

FROM python:3.12-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin parley
COPY --from=build /opt/parley /opt/parley
USER 10001
ENV PATH=/opt/parley/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
EXPOSE 8080
# /healthz: alive. Whether new calls should come (/readyz) is for the load balancer to ask, not a reason to restart.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["python", "-c", "\
import os, urllib.request as u; \
u.urlopen('http://127.0.0.1:%s/healthz' % (os.environ.get('PARLEY_SIDE_PORT') or 9464), timeout=2)"]
# In exec form, so that the server itself gets the SIGTERM that lets live calls finish.
ENTRYPOINT ["parley"]
CMD ["serve"]
