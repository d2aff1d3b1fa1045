"""Which module stands for what a script imports: a maker for each name, called when a script first asks for it.

A maker whose function ends in `_names` changes names of a module that is there; one in `_module` gives a whole one.
"""

from __future__ import annotations

import collections
import importlib
import sys

from saccade.compat.old_modules import data, dropped, language, strings, system, web
from saccade.compat.old_modules.facade import Facade, Maker, alias, changed, lacking

_UBUNTU = ("Ubuntu", "16.04", "xenial")

DROPPED: dict[str, Maker] = {
    "time": changed("time", lambda time: {"clock": time.perf_counter}),
    "collections": changed("collections", dropped.collections_names),
    "base64": changed("base64", lambda m: {"encodestring": m.encodebytes, "decodestring": m.decodebytes}),
    "fractions": changed("fractions", lambda m: {"gcd": importlib.import_module("math").gcd}),
    "platform": lacking("platform", linux_distribution=lambda *_, **__: _UBUNTU, dist=lambda *_, **__: _UBUNTU),
    "inspect": changed("inspect", dropped.inspect_names),
    "json": changed("json", dropped.json_names),
    "xml.etree.cElementTree": alias("xml.etree.ElementTree"),
    "imp": dropped.imp_module,
    # `cgi` is gone since Python 3.13; what scripts took from it is `escape`, which left the quotes.
    "cgi": changed("html" if sys.version_info >= (3, 13) else "cgi", lambda m: {
        "escape": lambda value, quote=False: importlib.import_module("html").escape(value, quote)}, "cgi"),
}  # fmt: skip
"""What later versions of Python 3 have dropped, for scripts of 2.7 and of 3.7 alike."""

_RENAMED = {
    "urlparse": "urllib.parse", "Queue": "queue", "httplib": "http.client", "Cookie": "http.cookies",
    "cookielib": "http.cookiejar", "HTMLParser": "html.parser", "htmlentitydefs": "html.entities",
    "SocketServer": "socketserver", "BaseHTTPServer": "http.server", "SimpleHTTPServer": "http.server",
    "CGIHTTPServer": "http.server", "xmlrpclib": "xmlrpc.client", "SimpleXMLRPCServer": "xmlrpc.server",
    "DocXMLRPCServer": "xmlrpc.server", "robotparser": "urllib.robotparser", "__builtin__": "builtins",
    "copy_reg": "copyreg", "repr": "reprlib", "UserList": "collections", "UserString": "collections",
    "anydbm": "dbm", "whichdb": "dbm", "gdbm": "dbm.gnu", "cElementTree": "xml.etree.ElementTree",
    **{f"email.{name}": real for name, real in web.EMAIL.items()},
}  # fmt: skip

OLD: dict[str, Maker] = {
    **{name: alias(real) for name, real in _RENAMED.items()},
    "exceptions": alias("builtins", StandardError=Exception),
    "UserDict": alias("collections", IterableUserDict=collections.UserDict,
                      DictMixin=collections.abc.MutableMapping),
    # Text
    "string": changed("string", strings.string_names),
    "StringIO": strings.string_io_module, "cStringIO": strings.string_io_module,
    # Values
    "json": changed("json", data.json_names), "simplejson": changed("json", data.json_names),
    "csv": changed("csv", data.csv_names), "ConfigParser": data.config_parser_module,
    "pickle": changed("pickle", data.pickle_names), "cPickle": changed("pickle", data.pickle_names),
    "zlib": changed("zlib", data.checksum_names), "binascii": changed("binascii", data.checksum_names),
    "md5": data.digest_module("md5"), "sha": data.digest_module("sha1"),
    # Addresses and mail
    "urllib": web.urllib_module, "urllib2": web.urllib2_module,
    "email": lambda: Facade("email", importlib.import_module("email"), {}, web.email_part),
    # Processes, threads and the machine
    "subprocess": changed("subprocess", system.subprocess_names),
    "commands": system.commands_module, "popen2": system.popen2_module,
    "os": changed("os", system.os_names), "os.path": lambda: changed("os", system.os_names)().path,
    "sys": changed("sys", system.sys_names),
    "thread": system.thread_module, "dummy_thread": system.thread_module,
    "threading": changed("threading", system.threading_names),
    "dummy_threading": changed("threading", system.threading_names),
    # The language
    "itertools": changed("itertools", language.itertools_names),
    "operator": changed("operator", language.operator_names), "types": changed("types", language.types_names),
    "sets": language.sets_module, "future_builtins": language.future_builtins_module,
    "math": changed("math", lambda m: {"floor": lambda x: float(m.floor(x)), "ceil": lambda x: float(m.ceil(x))}),
}  # fmt: skip
"""What Python 3 has renamed or dropped, for scripts of 2.7."""
