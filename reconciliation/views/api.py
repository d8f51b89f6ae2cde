"""REST: how a call is understood, how its answer looks, and how a refusal is told."""

from collections.abc import Callable, Iterable, Mapping

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import OpenApiResponse, extend_schema, inline_serializer
from rest_framework import exceptions, serializers
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import ListSerializer, Serializer
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import set_rollback

from policies import authority
from policies.models import Power
from policies.problems import Conflict, Denied, Invalid, Problem, TooMany
from reconciliation import queue
from reconciliation.serializers import RefusalSerializer

STATUS = {Denied: 403, Conflict: 409, Invalid: 422, TooMany: 429}
NOT_HERE = "There is nothing at this address that you may see. Every address ends with a slash."
REFUSALS = {
    401: OpenApiResponse(RefusalSerializer, "Nobody is signed in."),
    403: OpenApiResponse(RefusalSerializer, "You may not do this."),
    404: OpenApiResponse(RefusalSerializer, "Not there, or not for you to know of."),
    409: OpenApiResponse(RefusalSerializer, "Not now: the state, the version or the lease is another."),
    422: OpenApiResponse(RefusalSerializer, "What was given cannot be used as it is."),
    429: OpenApiResponse(RefusalSerializer, "Too much was looked at lately."),
}


def refuse(exception: Exception, context: dict) -> Response | None:
    """Every refusal as `{"problem", "detail"}`; None for a crash, which Django logs and answers with 500."""
    set_rollback()
    if isinstance(exception, Problem):
        return _refusal(STATUS[type(exception)], exception.code, str(exception))
    if isinstance(exception, exceptions.ValidationError):
        return _not_understood(exception)
    if isinstance(exception, exceptions.NotAuthenticated | exceptions.AuthenticationFailed):
        return _refusal(401, "unauthenticated", str(exception.detail), headers={"WWW-Authenticate": "Token"})
    if isinstance(exception, Http404):
        return _refusal(404, "not_found", NOT_HERE)
    if isinstance(exception, PermissionDenied | exceptions.PermissionDenied):
        return _refusal(403, Denied.code, str(exception) or "You may not do this.")
    if isinstance(exception, exceptions.APIException):
        return _refusal(exception.status_code, exception.default_code, str(exception.detail))
    if isinstance(exception, RecursionError):  # the parser's word for a body nested thousands deep
        return _refusal(400, exceptions.ParseError.default_code, "This body is nested too deeply.")
    return None


def _refusal(status: int, problem: str, detail: str, *, headers: dict | None = None, **more) -> Response:
    return Response({"problem": problem, "detail": detail, **more}, status=status, headers=headers)


def _not_understood(exception: exceptions.ValidationError) -> Response:
    """One sentence that names the fields, and what is wrong with each; `body` is the whole of what was sent."""
    fields = {path or "body": found for path, found in _flat(exception.detail)}
    sentences = [f"{path}: {' '.join(found)}" for path, found in fields.items()]
    return _refusal(422, Invalid.code, f"Please correct {'; '.join(sentences)}", fields=fields)


def _flat(detail, path: str = "") -> Iterable[tuple[str, list[str]]]:
    """Nested errors as pairs of a dotted path ("consent.until", "overrides.0.code") and sentences."""
    if isinstance(detail, Mapping):
        pairs = detail.items()
    elif any(isinstance(one, Mapping | list) for one in detail):
        pairs = enumerate(detail)
    else:
        yield path, [str(one) for one in detail]
        return
    for name, inner in pairs:
        here = "" if name == "non_field_errors" else str(name)
        yield from _flat(inner, ".".join(part for part in (path, here) if part))


def body(shape: type[Serializer], request: Request) -> dict:
    """What was sent, checked. A field that the call does not know is refused: a slip of the pen must not go unheard."""
    return _understood(shape(data=request.data))


def filters(shape: type[Serializer], request: Request) -> dict:
    """What stands after the question mark, checked the same way."""
    return _understood(shape(data=request.query_params.dict()))


def _understood(given: Serializer) -> dict:
    if strangers := list(_unknown(given, given.initial_data)):
        raise exceptions.ValidationError({name: ["There is no such field."] for name in strangers})
    given.is_valid(raise_exception=True)
    return given.validated_data


def _unknown(shape, given, path: str = "") -> Iterable[str]:
    if isinstance(shape, ListSerializer) and isinstance(given, list):
        for n, one in enumerate(given):
            yield from _unknown(shape.child, one, f"{path}{n}.")
    elif isinstance(shape, Serializer) and isinstance(given, Mapping):
        for name, value in given.items():
            if name not in shape.fields:
                yield f"{path}{name}"
            else:
                yield from _unknown(shape.fields[name], value, f"{path}{name}.")


def listed(rows: Iterable, shape: type[Serializer], request: Request, *, following: str = "") -> Response:
    """A page of rows; `following` is the cursor of the next one. A list that is complete has no next."""
    found = shape(rows, many=True, context={"request": request}).data
    following = following and replace_query_param(request.build_absolute_uri(), "cursor", following)
    return Response({"next": following or None, "results": found})


def paged(
    rows: QuerySet, shape: type[Serializer], request: Request, *, cursor: str, by: str = "received_at"
) -> Response:
    """One page of `rows`, newest first, with the address of the next."""
    page = queue.page(rows, cursor=cursor, by=by)
    return listed(page.rows, shape, request, following=page.next)


def page_of(shape: type[Serializer]) -> Serializer:
    """How `listed` looks in the schema."""
    fields = {"next": serializers.URLField(allow_null=True), "results": shape(many=True)}
    return inline_serializer(f"{shape.__name__.removesuffix('Serializer')}Page", fields)


def described(name: str, *, gives, takes=None, filters=None, status: int = 200) -> Callable:
    """The place of a call in the schema."""
    return extend_schema(
        operation_id=name,
        request=takes,
        parameters=[filters] if filters else None,
        responses={status: gives, **REFUSALS},
    )


def call(method: str, **shapes) -> Callable:
    """Makes a function the call of one method at one address; `shapes` as for `described`."""
    return lambda view: described(view.__name__, **shapes)(api_view([method])(view))


def require_reader(request: Request) -> None:
    """Patients, orders and lists of choices are for people who may work with studies of some source."""
    authority.require(request.user, Power.VIEW)


@extend_schema(exclude=True)
@api_view(["GET", "POST", "PUT", "PATCH", "DELETE"])
def nothing_here(request: Request) -> Response:
    """Every other address under api/ answers in the same shape as the rest."""
    raise Http404
