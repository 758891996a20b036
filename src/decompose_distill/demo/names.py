"""Names the controlled world draws from; each is one token to most tokenizers."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


WOMEN = _words(
    """
    Emma Olivia Alice Anna Mary Sarah Laura Julia Lucy Grace Rachel Helen Jane Kate Clara Diana Eva
    Ella Rose Ruth Hannah Linda Susan Karen Nancy Lisa Betty Carol Amanda Melissa Emily Amy Angela
    Maria Martha Judith Alma Joan Edith Vera Lily Daisy Ivy Molly Sally Jenny Nina Monica Victoria
    Mia Abigail Samantha Claire Ellen Barbara Patricia Elizabeth Margaret Sandra Sharon Michelle
    Deborah Rebecca Katherine Christine Heather Teresa Jean Marie Lauren Andrea Naomi Esther Miriam
    """
)
MEN = _words(
    """
    Jack Tom James John Robert Michael William David Richard Joseph Thomas Charles Daniel Matthew
    Anthony Mark Donald Steven Paul Andrew Joshua Kenneth Kevin Brian George Edward Timothy Jason
    Jeffrey Ryan Jacob Gary Eric Jonathan Stephen Larry Justin Scott Benjamin Samuel Frank Gregory
    Raymond Alexander Patrick Dennis Jerry Tyler Aaron Henry Peter Adam Nathan Walter Harold Carl
    Keith Roger Gerald Ethan Arthur Terry Sean Lawrence Joe Noah Albert Bruce Alan Ralph Louis Simon
    """
)
PLACES = _words(
    """
    Oxford Burton Hampton Kingston Lincoln Newport Richmond Salem Stafford Walton Windsor Warwick
    York Bath Bedford Cambridge Canterbury Chester Derby Dover Exeter Leeds Sheffield Dayton Concord
    Denver Dallas Lexington Memphis Monroe Orlando Princeton Raleigh Seattle Tampa Troy Boston
    Charleston Cleveland Columbus Cork Perth Auckland Wellington Cardiff Glasgow Edinburgh Oslo
    Naples Milan Lyon Geneva Basel Vienna Athens Delhi Mumbai Lima Nairobi Cairo Leiden Bonn Cologne
    Leipzig Hamburg Berlin Springfield Greenwich Arlington
    """
)
WORKS = _words(
    """
    Dust Echo Harbor Frost Winter Autumn Silence Thunder Mirror Shadow Garden Island River Bridge
    Castle Desert Forest Canyon Horizon Journey Dawn Comet Falcon Raven Wolf Tiger Copper Hollow
    Haven Refuge Odyssey Paradise Legacy Freedom Courage Mercy Gravity Zero Atlas Nova Orion Phoenix
    Titan Pulse Spectrum
    """
)
LANGUAGES = _words("Arabic Danish Dutch French Greek Hindi Latin Polish Welsh")
WATERS = _words("Avon Elbe Indus Loire Rhine Tagus Thames Tiber Volga")
PRIZES = _words("Acorn Anchor Crown Lantern Laurel Quill Ribbon Star Torch")
