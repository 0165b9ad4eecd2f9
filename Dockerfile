# The whole hub is one static binary, so the image holds nothing else: no shell, no package manager, no libraries.
#
#   docker build -t petasos .
#   docker run --rm -p 8080:80 -v petasos:/data --read-only \
#     -e MERCURE_PUBLISHER_JWT_KEY='…' -e MERCURE_SUBSCRIBER_JWT_KEY='…' petasos
#
# scripts/build-image makes the same image without an engine; it reads the last stage below.
#
# It runs as user 65532 and writes to /data only. Port 80, the default, can be bound without privileges in containers of
# current engines; where it cannot, set SERVER_NAME=:8080 or PETASOS_LISTEN=:8080.

FROM rust:1.95-slim AS build
# make and the C compiler are for the allocator and SQLite; the certificates are for key sets fetched over HTTPS.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates gcc libc6-dev make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# Naming the target keeps the flags away from what runs during the build (macros cannot be static). A static binary does not
# find the system call for random numbers by itself and would read /dev/urandom, so it is told.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    target="$(uname -m)-unknown-linux-gnu" \
    && RUSTFLAGS='-C target-feature=+crt-static --cfg getrandom_backend="linux_getrandom"' \
       cargo build --locked --release --package petasos --bin petasos --target "$target" \
    && mkdir -p /image/data /image/etc/ssl/certs \
    && cp "target/$target/release/petasos" /image/petasos \
    && cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ \
    && echo 'petasos:x:65532:65532::/data:/' > /image/etc/passwd \
    && echo 'petasos:x:65532:' > /image/etc/group \
    && /image/petasos --version

FROM scratch
# docker build --build-arg VERSION=0.1.0 --build-arg REVISION="$(git rev-parse HEAD)" …
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Petasos" \
      org.opencontainers.image.description="A hub for the Mercure protocol with history, presence and shared storage" \
      org.opencontainers.image.source="https://github.com/petasos/petasos" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /image/petasos /petasos
COPY --from=build /image/etc /etc
# Owned by the user, so that a volume mounted here for the first time is, too.
COPY --from=build --chown=65532:65532 /image/data /data
USER 65532:65532
VOLUME /data
EXPOSE 80 443
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["/petasos", "health"]
ENTRYPOINT ["/petasos"]
CMD ["serve"]
