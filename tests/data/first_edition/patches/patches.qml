<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22" styleCategories="Symbology|Labeling">
  <renderer-v2 type="RuleRenderer" symbollevels="0">
    <rules key="geoseg">
      <rule filter="&quot;split&quot; = 'train'" label="train" symbol="0" key="rule0" />
      <rule filter="&quot;split&quot; = 'val'" label="val" symbol="1" key="rule1" />
      <rule filter="&quot;split&quot; = 'test'" label="test" symbol="2" key="rule2" />
    </rules>
    <symbols>
      <symbol type="fill" name="0" alpha="1">
        <layer class="SimpleFill" enabled="1" locked="0">
          <Option type="Map">
            <Option name="color" value="31,120,180,38" type="QString" />
            <Option name="style" value="solid" type="QString" />
            <Option name="outline_style" value="solid" type="QString" />
            <Option name="outline_color" value="31,120,180,255" type="QString" />
            <Option name="outline_width" value="0.5" type="QString" />
          </Option>
          <prop k="color" v="31,120,180,38" />
          <prop k="style" v="solid" />
          <prop k="outline_style" v="solid" />
          <prop k="outline_color" v="31,120,180,255" />
          <prop k="outline_width" v="0.5" />
        </layer>
      </symbol>
      <symbol type="fill" name="1" alpha="1">
        <layer class="SimpleFill" enabled="1" locked="0">
          <Option type="Map">
            <Option name="color" value="255,127,0,76" type="QString" />
            <Option name="style" value="solid" type="QString" />
            <Option name="outline_style" value="solid" type="QString" />
            <Option name="outline_color" value="255,127,0,255" type="QString" />
            <Option name="outline_width" value="0.5" type="QString" />
          </Option>
          <prop k="color" v="255,127,0,76" />
          <prop k="style" v="solid" />
          <prop k="outline_style" v="solid" />
          <prop k="outline_color" v="255,127,0,255" />
          <prop k="outline_width" v="0.5" />
        </layer>
      </symbol>
      <symbol type="fill" name="2" alpha="1">
        <layer class="SimpleFill" enabled="1" locked="0">
          <Option type="Map">
            <Option name="color" value="227,26,28,76" type="QString" />
            <Option name="style" value="solid" type="QString" />
            <Option name="outline_style" value="solid" type="QString" />
            <Option name="outline_color" value="227,26,28,255" type="QString" />
            <Option name="outline_width" value="0.5" type="QString" />
          </Option>
          <prop k="color" v="227,26,28,76" />
          <prop k="style" v="solid" />
          <prop k="outline_style" v="solid" />
          <prop k="outline_color" v="227,26,28,255" />
          <prop k="outline_width" v="0.5" />
        </layer>
      </symbol>
    </symbols>
  </renderer-v2>
  <layerGeometryType>2</layerGeometryType>
</qgis>
