# The image listens on every address, so the origins that browsers may come
# from must be named when it is started; README shows how.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY . .
RUN CGO_ENABLED=1 go build -trimpath -ldflags "-s -w" -o /out/kalamdb ./cmd/kalamdb
RUN CGO_ENABLED=1 go build -trimpath -ldflags "-s -w" -o /out/kalam ./cmd/kalam

FROM debian:bookworm-slim
RUN useradd --system --home-dir /var/lib/kalamdb --create-home kalamdb
COPY --from=build /out/kalamdb /out/kalam /usr/local/bin/
USER kalamdb
ENV KALAMDB_SERVER_HOST=0.0.0.0 KALAMDB_SERVER_PORT=2900 KALAMDB_DATA_DIR=/var/lib/kalamdb
VOLUME /var/lib/kalamdb
EXPOSE 2900
# --supervise starts the server again when it crashes.
ENTRYPOINT ["/usr/local/bin/kalamdb", "--supervise"]
