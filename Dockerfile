# The same app in a container: the official Functions host and its Python worker. Runs as nobody, writes only to /tmp.
# Pin the base by its digest in your registry's mirror; docs/operations.md has the command.
FROM mcr.microsoft.com/azure-functions/python:4-python3.13 AS packages
COPY requirements.txt /
RUN pip install --no-cache-dir --require-hashes --target /packages -r /requirements.txt \
 && python -m compileall -q --invalidation-mode unchecked-hash /packages

FROM mcr.microsoft.com/azure-functions/python:4-python3.13
ENV AzureWebJobsScriptRoot=/home/site/wwwroot \
    AzureFunctionsJobHost__Logging__Console__IsEnabled=true \
    AzureWebJobsFeatureFlags=EnableWorkerIndexing \
    ASPNETCORE_URLS=http://+:8080 \
    PYTHONDONTWRITEBYTECODE=1 \
    TMPDIR=/tmp \
    HOME=/tmp
COPY --from=packages /packages /home/site/wwwroot/.python_packages/lib/site-packages
COPY . /home/site/wwwroot
RUN python -m compileall -q --invalidation-mode unchecked-hash /home/site/wwwroot/functions /home/site/wwwroot/shared \
 && chmod -R a+rX,go-w /home/site/wwwroot
USER 65534:65534
EXPOSE 8080
