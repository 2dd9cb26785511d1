# nginx, in front of several copies (docker-compose.scale.yml).
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

# The base of the other images, which is on the machine already: nginx is Debian's own.
FROM ${PYTHON_IMAGE}
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends curl nginx \
 && rm -rf /var/lib/apt/lists/*
COPY docker/nginx.conf /etc/nginx/nginx.conf
USER 1000:1000
EXPOSE 8001
# To finish what is under way.
STOPSIGNAL SIGQUIT
CMD ["nginx", "-e", "/dev/stderr", "-g", "daemon off;"]
