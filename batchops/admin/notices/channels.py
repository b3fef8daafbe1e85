"""The channels of notices: where they are sent to, what became of it, and sending again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, reverse
from django.views.decorators.http import require_POST, require_safe

from batchops import audit, permissions
from batchops.accounts import reauth
from batchops.admin.ui.base import add_service_error, current_user, promise
from batchops.notices.channels import keeping
from batchops.notices.models import Channel, Delivery, Severity
from batchops.services.errors import ChangeError, NotAllowed

if TYPE_CHECKING:
    from django.contrib.admin import AdminSite

DELIVERIES_SHOWN: Final = 50
View = Callable[[str, str, Callable[..., HttpResponse]], URLPattern]


class ChannelForm(forms.Form):
    """What a channel is; what is secret is entered and never shown again."""

    name = forms.CharField(max_length=100)
    kind = forms.ChoiceField(choices=Channel.Kind.choices)
    target = forms.CharField(
        max_length=2_000,
        required=False,
        label="Where to",
        help_text="Mail: addresses, comma-separated. Else the web address, which is sealed and not "
        "shown again; or env:NOTICE_…, the name of a variable of the worker's environment.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    secret = forms.CharField(
        max_length=200,
        required=False,
        label="Signing secret",
        help_text="Of a webhook: whsec_… or env:NOTICE_…. Empty: one is made, and shown once.",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    least_severity = forms.TypedChoiceField(
        choices=Severity.choices,
        coerce=int,
        initial=Severity.WARNING,
        label="Send notices from",
        help_text="What matters less is not sent.",
    )
    is_active = forms.BooleanField(required=False, initial=True, label="Switched on")

    def __init__(self, *args: Any, channel: Channel, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.channel = channel
        if channel._state.adding:
            self.fields["target"].required = True
        else:
            self.fields[
                "target"
            ].help_text = f"Now {channel.shown_target}. Leave this empty to keep it."

    def clean_name(self) -> str:
        name = str(self.cleaned_data["name"])
        if Channel.objects.filter(name=name).exclude(pk=self.channel.pk).exists():
            raise forms.ValidationError("Another channel has this name.")
        return name


def urls(site: AdminSite, view: View) -> list[URLPattern]:
    """The addresses of channels, as parts of a site."""

    @require_safe
    def all_channels(request: HttpRequest) -> HttpResponse:
        _require_may_keep(request)
        found = Channel.objects.filter(owner=None).annotate(
            waiting=Count("deliveries", filter=Q(deliveries__state=Delivery.State.PENDING)),
            dead=Count("deliveries", filter=Q(deliveries__state=Delivery.State.DEAD)),
        )
        context = {"title": "Channels", "channels": found, **site.each_context(request)}
        return TemplateResponse(request, "batchops/notices/channels.html", context)

    def add(request: HttpRequest) -> HttpResponse:
        return _form_page(request, site, Channel())

    def one(request: HttpRequest, pk: int) -> HttpResponse:
        _require_may_keep(request)
        return _form_page(request, site, get_object_or_404(Channel, pk=pk, owner=None))

    return [
        view("channels/", "_channels", all_channels),
        view("channels/add/", "_channel_add", add),
        view("channels/<int:pk>/", "_channel", one),
        view("channels/<int:pk>/test/", "_channel_test", test),
        view("channels/<int:pk>/again/", "_channel_again", again),
    ]


@require_POST
def test(request: HttpRequest, pk: int) -> HttpResponse:
    """Send a test by a channel."""
    return _do(request, pk, keeping.send_test, "A test is on its way. Its end shows here.")


@require_POST
def again(request: HttpRequest, pk: int) -> HttpResponse:
    """Send again what was given up, and what waits for its next attempt."""
    return _do(request, pk, keeping.try_again, "It is tried again. Its end shows here.")


def _do(request: HttpRequest, pk: int, service: Callable[..., object], done: str) -> HttpResponse:
    _require_may_keep(request)
    channel = get_object_or_404(Channel, pk=pk, owner=None)
    try:
        service(channel, user=current_user(request), actor=audit.Actor.of_request(request))
    except NotAllowed as error:
        raise PermissionDenied(error.message) from error
    except ChangeError as error:
        messages.error(request, error.message)
    else:
        promise(request, done)
    return redirect("admin:notices_channel", pk)


def _form_page(request: HttpRequest, site: AdminSite, channel: Channel) -> HttpResponse:
    _require_may_keep(request)
    if request.method == "POST":
        reauth.require(request)
    initial = {
        "name": channel.name,
        "kind": channel.kind,
        "least_severity": channel.least_severity,
        "is_active": channel.is_active,
    }
    form = ChannelForm(request.POST or None, initial=initial, channel=channel)
    if request.method == "POST" and form.is_valid() and (saved := _save(request, form, channel)):
        return saved
    # What a form that was refused has changed is not what the channel is.
    kept = Channel.objects.filter(pk=channel.pk).first()
    context = {
        "title": kept.name if kept else "Add a channel",
        "channel": kept,
        "form": form,
        "deliveries": kept.deliveries.select_related("notice").order_by("-pk")[:DELIVERIES_SHOWN]
        if kept
        else [],
        **site.each_context(request),
    }
    return TemplateResponse(request, "batchops/notices/channel.html", context)


def _save(request: HttpRequest, form: ChannelForm, channel: Channel) -> HttpResponse | None:
    try:
        channel, secret = keeping.save(
            channel,
            keeping.Wanted(**form.cleaned_data),
            user=current_user(request),
            actor=audit.Actor.of_request(request),
        )
    except NotAllowed as error:
        raise PermissionDenied(error.message) from error
    except ChangeError as error:
        add_service_error(form, error)
        return None
    messages.success(request, "Saved.")
    if secret:
        words = f"Signing secret, shown this once: {secret} . Give it to the receiver."
        messages.warning(request, words)
    return HttpResponseRedirect(reverse("admin:notices_channel", args=[channel.pk]))


def _require_may_keep(request: HttpRequest) -> None:
    if not request.user.has_perm(permissions.KEEP_CHANNELS):
        raise PermissionDenied("the channels of notices")
