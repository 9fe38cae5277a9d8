# The image of one service: docker build --build-arg SERVICE=member --tag mileage/member .
# The four have all stages but the last two in common: whichever is built first compiles for all.

FROM rust:1.95.0-trixie AS chef
RUN cargo install cargo-chef --version 0.1.78 --locked
WORKDIR /src

# The recipe is what is known of the dependencies: it stays the same while only sources change.
FROM chef AS plan
COPY . .
RUN cargo chef prepare --recipe-path recipe.json

FROM chef AS build
ENV SQLX_OFFLINE=true
COPY --from=plan /src/recipe.json .
RUN cargo chef cook --release --locked --recipe-path recipe.json \
    --package member --package message --package point --package mypage
COPY . .
RUN cargo build --release --locked --package member --package message --package point --package mypage

# The binary, and a name for it that is the same in every image.
FROM build AS service
ARG SERVICE
RUN install -D "target/release/${SERVICE:?is missing: --build-arg SERVICE=member}" "/image/usr/local/bin/$SERVICE" \
    && ln -s "$SERVICE" /image/usr/local/bin/service

# No shell and no package manager: the C library, OpenSSL, CA certificates and time zones.
FROM gcr.io/distroless/cc-debian13:nonroot
COPY --from=service /image/ /
USER 65532:65532
# Each service has one pair of these. The second port is for metrics, health and the other services only.
EXPOSE 8081-8084 9081-9084
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s CMD ["/usr/local/bin/service", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/service"]

ARG SERVICE
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="mileage/$SERVICE" \
    org.opencontainers.image.description="The $SERVICE service of Mileage, a membership-mileage system" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$REVISION"
