# Built and installed apart, so that no build tool reaches the image that runs.
FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY operator operator
RUN pip wheel --no-deps --wheel-dir /wheels .
RUN python -m venv --without-pip /venv \
 && pip --python /venv/bin/python install --no-compile /wheels/*.whl
# Typed clients that nobody here calls are two fifths of it all.
RUN rm -r /venv/lib/python3*/site-packages/kubernetes/client/api /venv/lib/python3*/site-packages/kubernetes/aio/client/api
# On a read-only file system nothing is ever compiled but here, and what is not starts a second later.
RUN python -m compileall -q -x '/kubernetes/(aio/)?client/models/' /venv/lib

FROM python:3.13-slim
RUN pip uninstall --yes pip && rm -r /usr/local/lib/python3*/ensurepip
COPY --from=build /venv /venv
# kopf asks for the name of its user, which a bare number does not have.
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 USER=sidecarpolicy
EXPOSE 8080 9443
USER 65532:65532
ENTRYPOINT ["/venv/bin/python", "-m", "sidecarpolicy"]
