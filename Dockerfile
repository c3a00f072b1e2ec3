# syntax=docker/dockerfile:1
# A worker of Tidemark. Temporal and the destination are elsewhere: see docker-compose.yml.
FROM node:24.9.0-bookworm-slim AS packages
WORKDIR /opt/tidemark
# The image brings its own Node, and its Temporal server is another container.
ENV TIDEMARK_SKIP_TEMPORAL=1
COPY package.json package-lock.json ./
COPY scripts ./scripts
RUN npm ci --omit=dev --no-audit --no-fund

FROM node:24.9.0-bookworm-slim
WORKDIR /opt/tidemark
# Two heaps of glibc instead of eight for each core: a bulk copy peaks at less memory (docs/performance.md).
ENV NODE_ENV=production MALLOC_ARENA_MAX=2
COPY --from=packages /opt/tidemark/node_modules ./node_modules
COPY . .
# The base image has an unprivileged user; the configuration is mounted, never built in.
USER node
ENTRYPOINT ["node", "scripts/tidemark.js"]
CMD ["worker"]
