"""What the order system says to an order that was generated here: shown on the study page, told again, cancelled."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from orders import outbound
from orders.models import Notice, Order
from policies.models import Power
from reconciliation import forms, ordering, permission, queue
from reconciliation.models import Study
from reconciliation.views.study import after


def _order(key) -> Order:
    return get_object_or_404(Order.objects.select_related("patient"), pk=key, origin=Order.Origin.GENERATED)


def shown(order: Order, study: Study, *, seen: str, chosen: str) -> dict:
    """For `_order_notice.html`: the newest notice; the number and the changes too when it is no longer as `seen`."""
    notice = order.notices.select_related("system").first()
    awaited = notice is not None and notice.state in outbound.UNSETTLED
    return {
        "study": study,
        "order": order,
        "notice": notice,
        "awaited": awaited,
        "news": notice is not None and notice.state != seen,
        "chosen": chosen == f"order:{order.pk}",
    }


@require_GET
def show(request: HttpRequest, key, order) -> HttpResponse:
    """How far it has come; without htmx the page with this order chosen."""
    study, told = queue.get(request.user, key), _order(order)
    if not request.htmx:
        return redirect(f"{reverse('study', args=[study.pk])}?choice=order:{told.pk}")
    may_order = not permission.why_not(request.user, Power.ORDER, study)
    asked = {"seen": request.GET.get("seen", ""), "chosen": request.GET.get("choice", "")}
    found = shown(told, study, **asked)
    return render(request, "reconciliation/_order_notice.html", found | {"may_order": may_order})


@require_POST
def again(request: HttpRequest, key, order) -> HttpResponse:
    """Tell the order system once more."""
    study, told = queue.get(request.user, key), _order(order)
    notice = get_object_or_404(
        Notice.objects.select_related("system", "order__patient"), order=told, pk=_asked(request)
    )
    outbound.retry(notice, by=request.user, about=permission.about(study))
    messages.success(request, f"{notice.system} is told again now.")
    return after(request, study, "again", choice=f"order:{told.pk}")


def _asked(request: HttpRequest):
    return forms.read(forms.ToldAgain(request.POST))["notice"]


@require_POST
def cancel(request: HttpRequest, key, order) -> HttpResponse:
    study, told = queue.get(request.user, key), _order(order)
    ordering.cancel(told, by=request.user, reason=request.POST.get("reason", ""), study=study)
    messages.success(request, f"The order {told} is cancelled.")
    return after(request, study, "cancel")
