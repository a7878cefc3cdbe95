# The image of every process of docker-compose.yml that is ours. Requirements first: they change
# rarely, and what comes after them is seconds.
FROM python:3.11.13-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1
RUN python -m venv /opt/matinee
WORKDIR /source
COPY requirements-image.lock ./
RUN /opt/matinee/bin/pip install --quiet --require-hashes -r requirements-image.lock
COPY pyproject.toml README.md LICENSE ./
COPY platform platform
COPY policies policies
COPY simulator simulator
RUN /opt/matinee/bin/pip install --quiet --no-deps --no-build-isolation .

FROM python:3.11.13-slim-bookworm
# Of the system's libraries, what wheels ask for and the base image does not have: libgomp.so.1.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/matinee /opt/matinee
COPY examples/stack /opt/matinee/stack
# Everything is owned by root and read alone; what is written lies in volumes of these folders.
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin matinee \
    && install -d -o matinee -g matinee /var/lib/matinee /var/cache/matinee /run/matinee/scrape \
    && install -d -o matinee -g matinee -m 700 /run/matinee/secret /run/matinee/drive
ENV PATH=/opt/matinee/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    MPLCONFIGDIR=/tmp \
    NUMBA_CACHE_DIR=/var/cache/matinee \
    OMP_NUM_THREADS=1 \
    OPENBLAS_NUM_THREADS=1
USER 10001:10001
WORKDIR /var/lib/matinee
ENTRYPOINT ["matinee"]
CMD ["--help"]
