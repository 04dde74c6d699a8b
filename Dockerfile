# The same app in a container: the official Functions host and its Python worker. Runs as nobody, writes only to /tmp.
# No digest is pinned: Microsoft moves the tag for its security updates. Who needs one puts it behind the tag.
FROM mcr.microsoft.com/azure-functions/python:4-python3.13 AS packages
COPY requirements.txt /
RUN pip install --no-cache-dir --require-hashes --target /packages -r /requirements.txt \
 && python -m compileall -q --invalidation-mode unchecked-hash /packages

FROM mcr.microsoft.com/azure-functions/python:4-python3.13
ENV AzureWebJobsScriptRoot=/home/site/wwwroot \
    AzureFunctionsJobHost__Logging__Console__IsEnabled=true \
    ASPNETCORE_URLS=http://+:8080 \
    PYTHONDONTWRITEBYTECODE=1 \
    TMPDIR=/tmp \
    HOME=/tmp
COPY --from=packages /packages /home/site/wwwroot/.python_packages/lib/site-packages
COPY . /home/site/wwwroot
RUN python -m compileall -q --invalidation-mode unchecked-hash /home/site/wwwroot \
 && chmod -R a+rX,go-w /home/site/wwwroot
USER 65534:65534
EXPOSE 8080
