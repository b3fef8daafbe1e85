"""Accounts and groups: nobody grants what they do not hold, and nobody touches a mightier account.

Django's own pages let everybody who may change accounts make an administrator of anybody.
Administrators (superusers) are not restricted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path

from batchops import audit
from batchops.accounts import reauth
from batchops.accounts.factors import factors
from batchops.admin.accounts import own_account

if TYPE_CHECKING:
    _AccountAdmin = UserAdmin[User]
else:
    _AccountAdmin = UserAdmin

RESET: Final = "reset-second-factor"
OWN_RIGHTS: Final = ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")


class ProvenAdmin:
    """Accounts and groups are changed by those alone who proved of late who they are."""

    def save_model(self, request: HttpRequest, *args: Any) -> None:
        reauth.require(request)
        super().save_model(request, *args)  # type: ignore[misc]

    def delete_model(self, request: HttpRequest, *args: Any) -> None:
        reauth.require(request)
        super().delete_model(request, *args)  # type: ignore[misc]

    def delete_queryset(self, request: HttpRequest, *args: Any) -> None:
        reauth.require(request)
        super().delete_queryset(request, *args)  # type: ignore[misc]


class AccountAdmin(ProvenAdmin, _AccountAdmin):
    """Accounts, as far as a person stands above them."""

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        may = super().has_change_permission(request, obj)
        return may and (obj is None or _stands_above(request, obj))

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        may = super().has_delete_permission(request, obj)
        if not may or obj is None:
            return may
        return _stands_above(request, obj) and obj.pk != request.user.pk

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        fields = tuple(super().get_readonly_fields(request, obj))
        if _is_superuser(request):
            return fields
        own = obj is not None and obj.pk == request.user.pk
        return (*fields, *(OWN_RIGHTS if own else ("is_superuser",)))

    def formfield_for_manytomany(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        field = super().formfield_for_manytomany(db_field, request, **kwargs)
        return _only_grantable(field, request)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        if request.method == "POST" and not _is_superuser(request):
            own = object_id is not None and self._is_own(request, object_id)
            forbidden = OWN_RIGHTS if own else ("is_superuser",)
            if any(name in request.POST for name in forbidden):
                raise PermissionDenied("rights that this person may not give")
            _require_held(request, "groups", grantable_groups(request))
            _require_held(request, "user_permissions", held_permissions(request))
        return super().changeform_view(request, object_id, form_url, extra_context)

    def user_change_password(
        self, request: HttpRequest, id: str, form_url: str = ""
    ) -> HttpResponse:
        """Set another person's password; one's own is changed where the old one is asked for."""
        if self._is_own(request, id):
            return redirect("admin:password_change")
        account = self.get_object(request, unquote(id))
        if request.method == "POST" and self.has_change_permission(request, account):
            reauth.require(request)
        return super().user_change_password(request, id, form_url)

    def get_urls(self) -> list[Any]:
        page = self.admin_site.admin_view(self.sessions)
        return [path("<int:pk>/sessions/", page, name="auth_user_sessions"), *super().get_urls()]

    def sessions(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Where a person is signed in, and the buttons that end it."""
        account = get_object_or_404(User, pk=pk)
        if not self.has_change_permission(request, account):
            raise PermissionDenied("the sessions of this account")
        if request.method == "POST" and request.POST.get("which") == RESET:
            reauth.require(request)
            actor = audit.Actor.of_request(request)
            factors.reset(account, actor=actor, why="by whoever keeps accounts")
            messages.success(request, "The second factor is reset, and the sessions are ended.")
            return redirect("admin:auth_user_sessions", pk)
        if request.method == "POST":
            ended = own_account.end_chosen(request, account, "by whoever keeps accounts")
            messages.success(request, own_account.told(ended))
            return redirect("admin:auth_user_sessions", pk)
        context = {"title": f"Sessions of {account}", "account": account}
        context["factors"] = factors.of_user(account)
        context |= own_account.listed(request, account) | self.admin_site.each_context(request)
        return render(request, "batchops/accounts/of_account.html", context)

    def _is_own(self, request: HttpRequest, key: str) -> bool:
        """Whether an address names the account of the person at work: as "7", "07" or " 7"."""
        named = self.get_object(request, unquote(key))
        return named is not None and named.pk == request.user.pk


class RoleAdmin(ProvenAdmin, GroupAdmin):
    """Groups, as far as a person holds what they give, and is no member."""

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        may = super().has_change_permission(request, obj)
        return may and (obj is None or self._is_open(request, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        may = super().has_delete_permission(request, obj)
        return may and (obj is None or self._is_open(request, obj))

    def formfield_for_manytomany(self, db_field: Any, request: Any = None, **kwargs: Any) -> Any:
        field = super().formfield_for_manytomany(db_field, request, **kwargs)
        return _only_grantable(field, request)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        if request.method == "POST" and not _is_superuser(request):
            _require_held(request, "permissions", held_permissions(request))
        return super().changeform_view(request, object_id, form_url, extra_context)

    def _is_open(self, request: HttpRequest, group: Group) -> bool:
        if _is_superuser(request):
            return True
        member = request.user.groups.filter(pk=group.pk).exists()
        beyond = group.permissions.exclude(pk__in=held_permissions(request))
        return not member and not beyond.exists()


def held_permissions(request: HttpRequest) -> QuerySet[Permission]:
    """What the person at work holds, by groups or by themselves."""
    if _is_superuser(request):
        return Permission.objects.all()
    return _permissions_of(request.user)


def grantable_groups(request: HttpRequest) -> QuerySet[Group]:
    """Groups that give nothing that the person at work does not hold."""
    beyond = Permission.objects.exclude(pk__in=held_permissions(request))
    return Group.objects.exclude(permissions__in=beyond)


def _permissions_of(user: Any) -> QuerySet[Permission]:
    """What an account holds, be it active or not."""
    either = Q(user=user.pk) | Q(group__user=user.pk)
    return Permission.objects.filter(pk__in=Permission.objects.filter(either).values("pk"))


def _stands_above(request: HttpRequest, other: User) -> bool:
    """Whether the person at work may do all that another account may."""
    if _is_superuser(request) or other.pk == request.user.pk:
        return True
    beyond = _permissions_of(other).exclude(pk__in=held_permissions(request))
    return not other.is_superuser and not beyond.exists()


def _is_superuser(request: HttpRequest) -> bool:
    return bool(request.user.is_active and getattr(request.user, "is_superuser", False))


def _only_grantable(field: Any, request: HttpRequest | None) -> Any:
    """Only what the person at work can give."""
    if field is None or request is None or _is_superuser(request):
        return field
    if field.queryset.model is Group:
        field.queryset = field.queryset.filter(pk__in=grantable_groups(request))
    elif field.queryset.model is Permission:
        field.queryset = field.queryset.filter(pk__in=held_permissions(request))
    return field


def _require_held(request: HttpRequest, name: str, allowed: QuerySet[Any]) -> None:
    """Raise PermissionDenied for a form that gives more than was offered."""
    given = set(request.POST.getlist(name))
    if given - {str(key) for key in allowed.values_list("pk", flat=True)}:
        raise PermissionDenied(f"{name} that this person does not hold")


admin.site.unregister((User, Group))
admin.site.register(User, AccountAdmin)
admin.site.register(Group, RoleAdmin)
