"""The addresses of the site. What is not under `api/` is for people."""

from django.contrib import admin
from django.urls import path

urlpatterns = [path("admin/", admin.site.urls)]
