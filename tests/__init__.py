"""Tests of the responder, from units to crashes."""
