# The browser of somebody who signs in and allows whatever a program opens: for programs that start a
# browser themselves (BROWSER=".../agree.py %s"). Who, and with which connection, is in AGREE_AS, as
# JSON: origin, email, and the fields of the form.

import http.client
import json
import os
import pathlib
import sys
import types
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from consent import Visitor

told = json.loads(os.environ["AGREE_AS"])
visitor = Visitor(types.SimpleNamespace(email=told["email"]), told["origin"])
back = urllib.parse.urlsplit(visitor.decide(sys.argv[1], **told["choice"]))
client = http.client.HTTPConnection(back.hostname, back.port, timeout=30)
client.request("GET", f"{back.path}?{back.query}")
client.getresponse().read()
