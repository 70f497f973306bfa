# The wheel is built apart, so that no build tool reaches the image that runs.
FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY operator operator
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . \
 && python -m venv /venv \
 && /venv/bin/pip install --no-cache-dir /wheels/*.whl \
 && /venv/bin/pip uninstall --yes pip

FROM python:3.13-slim
COPY --from=build /venv /venv
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
ENTRYPOINT ["/venv/bin/python", "-m", "sidecarpolicy"]
